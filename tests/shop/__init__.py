"""Models and views that the tests poll."""
