"""What the recipes raise beside what `coord` raises."""


class RecipeError(Exception):
    """A recipe could not do its work; the sentence says why."""


class LockLost(RecipeError):
    """What was held is held no more, or can no longer be proved to be. The body was cancelled.

    Nobody's fault in the program that held it. What the body had begun may be half done; writes that it made with
    `client.transaction(guard=held)` were done while the lock was held, or not at all.
    """


class MisuseError(RecipeError):
    """A recipe was asked for what would never end or has no meaning. Nothing was done."""


class MemberDied(RecipeError):
    """The session of a member of a double barrier ended before it left. `names`: whose."""

    def __init__(self, sentence: str, names: list[str]) -> None:
        super().__init__(sentence)
        self.names = names
