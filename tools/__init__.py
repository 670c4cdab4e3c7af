"""What we measure and break coord with: ensembles of real processes, the benchmark. Nothing in coord imports this."""
