"""What polling and tracking cost, as ratios taken in one run."""
