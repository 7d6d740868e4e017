"""An application that keeps the rows of a model equal to a feed elsewhere."""
