"""A build board that clients poll: an example of django_pollable."""
