import uuid

import django.db.models.deletion
from django.db import migrations, models

import tests.accounts.models


class Migration(migrations.Migration):
    initial = True

    dependencies = [("auth", "0012_alter_user_first_name_max_length")]  # an earlier one looks for proxies everywhere

    operations = [
        migrations.CreateModel(
            name="Person",
            fields=[
                ("password", models.CharField(max_length=128, verbose_name="password")),
                ("last_login", models.DateTimeField(blank=True, null=True, verbose_name="last login")),
                ("id", models.UUIDField(default=uuid.uuid4, primary_key=True, serialize=False)),
                ("name", models.CharField(max_length=50, unique=True)),
                ("is_active", models.BooleanField(default=True)),
                ("preferences", models.JSONField(default=dict)),
                ("balance", models.DecimalField(decimal_places=2, default=0, max_digits=8)),
                ("born_on", models.DateField(null=True)),
                ("wakes_at", models.TimeField(null=True)),
                ("absence", models.DurationField(null=True)),
                ("picture", models.BinaryField(default=b"")),
                ("contract", models.FileField(null=True, upload_to="")),
                ("secret", tests.accounts.models.Reversed(default="", max_length=50)),
                (
                    "manager",
                    models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, to="accounts.person"),
                ),
            ],
            options={
                "abstract": False,
            },
        ),
        migrations.CreateModel(
            name="Employee",
            fields=[
                (
                    "person_ptr",
                    models.OneToOneField(
                        auto_created=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        parent_link=True,
                        primary_key=True,
                        serialize=False,
                        to="accounts.person",
                    ),
                ),
                ("badge", models.IntegerField(null=True, unique=True)),
            ],
            options={
                "abstract": False,
            },
            bases=("accounts.person",),
        ),
        migrations.CreateModel(
            name="ManagedToken",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("key", models.CharField(max_length=40, unique=True)),
                ("is_valid", models.BooleanField(default=True)),
                ("user", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to="accounts.person")),
            ],
        ),
        migrations.CreateModel(
            name="PersonToken",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("key", models.UUIDField(default=uuid.uuid4, unique=True)),
                ("note", models.CharField(default="", max_length=50)),
                ("user", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to="accounts.person")),
            ],
        ),
        migrations.CreateModel(
            name="EmployeeToken",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("key", tests.accounts.models.Reversed(db_column="secret_key", max_length=40, unique=True)),
                (
                    "user",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE, related_name="token", to="accounts.employee"
                    ),
                ),
            ],
            options={
                "ordering": ["-key"],
            },
        ),
        migrations.CreateModel(
            name="BadgeToken",
            fields=[
                ("key", models.CharField(max_length=40, primary_key=True, serialize=False)),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, to="accounts.employee", to_field="badge"
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="Colleague",
            fields=[],
            options={
                "proxy": True,
                "indexes": [],
                "constraints": [],
            },
            bases=("accounts.employee",),
        ),
    ]
