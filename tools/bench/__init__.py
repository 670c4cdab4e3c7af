"""The benchmark: coord, and ZooKeeper where it is installed, driven through ZooKeeper's protocol."""
