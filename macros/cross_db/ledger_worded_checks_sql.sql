{% macro ledger_worded_checks_sql(definition) -%}
create table #vector_ledger_shape (
    {{ definition }}
);
select checked.[definition]
from tempdb.sys.check_constraints as checked
where checked.parent_object_id = object_id(N'tempdb..#vector_ledger_shape');
drop table #vector_ledger_shape;
{%- endmacro %}
