"""Why a classifier that a policy names is not used, and which of its keys is to blame."""

from __future__ import annotations

from moderation.policy.yaml_source import Location


class ClassifierRefusal(Exception):
    """A classifier that is not used; whoever knows the policy turns it into a PolicyError."""

    def __init__(self, key: Location, what: str, remedy: str) -> None:
        """Notes why.

        Args:
            key: the place below the label's key `classifier`.
            what: is wrong.
            remedy: what to do about it.
        """
        super().__init__(key, what, remedy)
        self.key, self.what, self.remedy = key, what, remedy
