"""Which results of earlier steps may be used again."""

import msgspec
from blake3 import blake3

from thrive.domain.errors import ThriveError
from thrive.domain.run import StepRecord
from thrive.flows.order import CachePolicy
from thrive.flows.results import is_there
from thrive.operations import Context
from thrive.store import runs


class Reuse:
    """Finds results by their key.

    Args:
        ctx: the context of the operation.
        policy: when results are used again.
    """

    def __init__(self, ctx: Context, policy: CachePolicy) -> None:
        self._ctx = ctx
        self._policy = policy

    def find(self, key: str, *, shared: bool) -> StepRecord | None:
        """Return a step with this key whose result is still there and still holds.

        Args:
            key: the cache key.
            shared: whether results of any run count, or only those of the resumed one.
        """
        if not self._policy.resume and not (self._policy.use and shared):
            return None
        found: list[StepRecord] = []
        project = self._ctx.project_id
        with self._ctx.read() as tx:
            if self._policy.resume:
                found += runs.find_results(tx, project, key, run_id=self._policy.resume)
            if self._policy.use and shared:
                found += runs.find_results(tx, project, key)
        return next((step for step in found if self.is_there(step) and self._holds(step)), None)

    def is_doubted(self, key: str) -> bool:
        """Tell whether this known result is executed again to verify it."""
        if not self._policy.verify:
            return False
        drawn = blake3(f"{key}/{self._ctx.now()}".encode()).digest(4)
        return int.from_bytes(drawn, "big") / 2**32 < self._policy.verify

    def distrust(self, step: StepRecord) -> None:
        """Take a result out of use."""
        doubted = msgspec.structs.replace(step, note="executed again, it gave another result")
        with self._ctx.observe(f"run:{step.run_id}") as tx:
            runs.save_step(tx, self._ctx.project_id, doubted)

    def is_there(self, step: StepRecord) -> bool:
        """Tell whether a result can still be read here: one that is gone is unknown."""
        return is_there(self._ctx, step.result)

    def _holds(self, step: StepRecord) -> bool:
        """Tell whether datasets that a step loaded by name are what they were, to its reader."""
        reads = (step.effects or {}).get("reads", ())
        if not reads:
            return True
        from thrive.data.access import seen_digest, view_of
        from thrive.data.reading import resolve
        from thrive.data.wanted import terms_of

        for read in reads:
            try:
                version = resolve(self._ctx, read["name"], read["version"])
            except ThriveError:
                return False
            with self._ctx.read() as tx:
                declared = terms_of(self._ctx.folder, version.dataset).personal_kinds
                view = view_of(tx, self._ctx, version, declared)
            if seen_digest(version, view) != read["digest"]:
                return False
        return True
