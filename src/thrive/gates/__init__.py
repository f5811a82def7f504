"""Gates: a version is let through on evidence.

A gate run judges one version against what is in production (or a baseline while nothing is) on
the version's own evaluation rows: quality, slices, calibration, bias, robustness, policy, speed.
Each check gives one of three answers; the verdict is bound to the digests of all it judged, and
its deterministic core is the same bytes whenever the inputs are the same.

No model is loaded here: `worker` is the program of a child process that loads one package,
`process` is the side that asks it. The room moves no traffic; the flow of promotion reads verdicts.
"""

from thrive.gates.case import GateCase
from thrive.gates.own import cannot_tell, check, failed, passed

__all__ = ["GateCase", "cannot_tell", "check", "failed", "passed"]
