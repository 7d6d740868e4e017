from django.db import migrations, models

from tests.shop import cascades

DB_CASCADE = getattr(models, "DB_CASCADE", models.CASCADE)


class Migration(migrations.Migration):
    dependencies = [("shop", "0001_initial")]

    operations = [
        migrations.CreateModel(
            name="Ticket",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "tenant",
                    models.ForeignKey(on_delete=DB_CASCADE, to="shop.tenant"),
                ),
            ],
            options={"abstract": False},
        ),
    ]

    if not cascades.ARE_FOLLOWED:
        operations.clear()
