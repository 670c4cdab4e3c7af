"""A session as it is kept, so that another process can go on with it."""

from coord.model.message import message


@message
class SavedSession:
    """What another process needs to go on with a session. Whoever has it *is* the session: keep it as a password."""

    id: int
    secret: bytes
    seen_zxid: int

    def to_text(self) -> str:
        """As one line for a file."""
        return f"{self.id:x}-{self.secret.hex()}-{self.seen_zxid:x}"

    @classmethod
    def from_text(cls, text: str) -> "SavedSession":
        """What `to_text` made; ValueError for anything else."""
        try:
            id, secret, seen_zxid = text.strip().split("-")
            return cls(int(id, 16), bytes.fromhex(secret), int(seen_zxid, 16))
        except ValueError:
            raise ValueError(
                "this is no saved session; it looks like 1a2b-00112233445566778899aabbccddeeff-3c"
            ) from None

    def __repr__(self) -> str:
        return f"<SavedSession {self.id:#x}>"  # never the secret: reprs end up in logs
