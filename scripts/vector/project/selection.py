"""Which nodes of dbt a step is about, as `--select` and `--exclude` take it: dbt reads no selectors.yml of an installed
package. That of this project, to be copied, has the same for orchestrators that call the steps one by one."""

from __future__ import annotations

from vector.project.relations import PACKAGE

# Set by the ledgers that Python fills. What is downstream of them changes when vectors are written.
FILLED_BY_PYTHON = "tag:vector_runtime_filled_by_python"
# A test is chosen by any of its parents, whatever the project or the environment says.
EAGER = ("--indirect-selection", "eager")

_AFTER = f"package:{PACKAGE},resource_type:test,{FILLED_BY_PYTHON}+"
# What stands before the vectors: the runtime with what it stands on. Unit tests are of code, not of data.
BEFORE_EMBED = ("--select", f"+package:{PACKAGE}", "--exclude", "resource_type:unit_test", _AFTER, *EAGER)
# The tests that judge what Python has filled, for `dbt test`: `dbt build` skips those downstream of a red one.
AFTER_EMBED = ("--select", _AFTER, *EAGER)
# The tables that are made of vectors, for `dbt run`: the build has made them of those that were there before.
MADE_OF_VECTORS = ("--select", f"package:{PACKAGE},config.materialized:table,{FILLED_BY_PYTHON}+")
# The tests of the ledgers, which are generic, and the invariants: no alarms, which are of operations. To exclude those
# by their tag would make dbt warn where none is on.
GUARDS = (
    "--select",
    f"package:{PACKAGE},test_type:generic,config.materialized:ledger",
    f"package:{PACKAGE},resource_type:test,tag:vector_runtime_guard",
    *EAGER,
)
