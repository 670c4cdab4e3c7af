"""What was: the state at any zxid that is kept, and every change on the way there."""
