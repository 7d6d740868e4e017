"""What schemathesis is told to try the example project with."""
