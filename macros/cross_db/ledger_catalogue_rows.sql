{% macro ledger_catalogue_rows(relation) -%}
    {{ return(adapter.dispatch('ledger_catalogue_rows', 'vector_runtime')(relation)) }}
{%- endmacro %}

{% macro default__ledger_catalogue_rows(relation) -%}
    {{ return(run_query(vector_runtime.ledger_catalogue_sql(relation)).rows) }}
{%- endmacro %}

{#- No catalogue can be asked there: the table's own statement tells types, NOT NULL and the comment. -#}
{% macro spark__ledger_catalogue_rows(relation) -%}
    {%- set statement = run_query('show create table ' ~ relation).rows[0][0] -%}
    {%- set rows = [] -%}
    {%- for line in statement.split('\nUSING ')[0].split('\n')[1:] -%}
        {%- set name, type = line.strip().rstrip(',)').split(' ', 1) -%}
        {%- do rows.append((
            'column', name.strip('`') | lower, type.split(' NOT NULL')[0].split(' COMMENT ')[0] | lower,
            'no' if ' NOT NULL' in type else 'yes')) -%}
    {%- endfor -%}
    {%- for comment in modules.re.findall("\nCOMMENT '(.*)'", statement) -%}
        {%- do rows.append(('comment', none, comment, none)) -%}
    {%- endfor -%}
    {{ return(rows) }}
{%- endmacro %}
