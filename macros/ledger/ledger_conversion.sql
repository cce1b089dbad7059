{% macro ledger_conversion(ledger, shape) -%}
    {%- set state = namespace(source=ledger.relation.render(), names=[], converted=[]) -%}
    {%- for name in shape.columns -%}
        {%- do state.names.append(name) -%}
    {%- endfor -%}
    {%- set version = vector_runtime.ledger_declared_version(ledger) -%}
    {%- for step in ledger.config.get('meta', {}).get('conversions', []) | sort(attribute='to')
        if shape.version < step.to <= version -%}
        {%- set given = step.get('columns', {}) -%}
        {%- set dropped = step.get('drop', []) -%}
        {%- set names = [] -%}
        {%- set parts = [] -%}
        {%- for name in state.names if name not in dropped or name in given -%}
            {%- do names.append(name) -%}
        {%- endfor -%}
        {%- for name in given if name not in names -%}
            {%- do names.append(name) -%}
        {%- endfor -%}
        {%- for name in names -%}
            {%- set quoted = vector_runtime.ledger_quoted(ledger, name) -%}
            {%- do parts.append(given[name] ~ ' as ' ~ quoted if name in given else quoted) -%}
        {%- endfor -%}
        {%- set state.source = '(select ' ~ parts | join(', ') ~ ' from ' ~ state.source ~ ' as version_' ~ loop.index ~ ')' -%}
        {%- set state.names = names -%}
        {%- do state.converted.extend(given.keys()) -%}
        {%- do state.converted.extend(dropped) -%}
    {%- endfor -%}
    {%- for name in state.names if name not in ledger.columns and name not in shape.columns -%}
        {% do exceptions.raise_compiler_error(
            "Ledger " ~ ledger.name ~ ": a conversion makes the column " ~ name ~ ", which the contract does not name.") %}
    {%- endfor -%}
    {{ return({'source': state.source, 'names': state.names, 'converted': state.converted}) }}
{%- endmacro %}
