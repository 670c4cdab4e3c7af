"""The durable data of one server: its ballot, its log, its snapshots. README.md tells the formats byte by byte."""
