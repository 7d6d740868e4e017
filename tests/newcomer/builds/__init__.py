"""An application with one pollable model."""
