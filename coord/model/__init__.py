"""What is said: requests, replies, errors, and the words they are made of. Imports nothing of the house."""
