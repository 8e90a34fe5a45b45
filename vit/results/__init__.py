"""Results of long computations on a run's kept weights, stored in the run's folder so that they survive a restart."""
