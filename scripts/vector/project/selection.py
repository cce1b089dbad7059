"""Which nodes of dbt a step is about, as `--select` and `--exclude` take it: dbt reads no selectors.yml of an installed
package. `selectors.yml` of this project has the same for orchestrators, and is to be copied into theirs."""

from __future__ import annotations

from vector.project.relations import PACKAGE

# Set by the ledgers that Python fills. What is downstream of them changes when vectors are written.
FILLED_BY_PYTHON = "tag:vector_runtime_filled_by_python"
# A test is chosen by any of its parents, whatever the project or the environment says.
EAGER = ("--indirect-selection", "eager")

_AFTER = (
    f"package:{PACKAGE},resource_type:test,{FILLED_BY_PYTHON}+",
    f"package:{PACKAGE},config.materialized:table,{FILLED_BY_PYTHON}+",
)
# What stands before the vectors: the runtime with what it stands on. Unit tests are of code, not of data.
BEFORE_EMBED = ("--select", f"+package:{PACKAGE}", "--exclude", "resource_type:unit_test", *_AFTER, *EAGER)
# The tests that judge what Python has filled, and the tables that are made of vectors.
AFTER_EMBED = ("--select", *_AFTER, *EAGER)
# The tests of the ledgers, and the invariants.
GUARDS = (
    "--select",
    f"package:{PACKAGE},resource_type:test,config.materialized:ledger",
    f"package:{PACKAGE},resource_type:test,tag:vector_runtime_guard",
    *EAGER,
)
