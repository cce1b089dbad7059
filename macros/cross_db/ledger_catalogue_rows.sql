{% macro ledger_catalogue_rows(relations) -%}
    {{ return(adapter.dispatch('ledger_catalogue_rows', 'vector_runtime')(relations)) }}
{%- endmacro %}

{#- In one query: the catalogue takes as long for all of them as for one. -#}
{% macro default__ledger_catalogue_rows(relations) -%}
    {%- set found = {} -%}
    {%- for relation in relations -%}
        {%- do found.update({(relation.schema ~ '.' ~ relation.identifier) | lower: []}) -%}
    {%- endfor -%}
    {%- for row in run_query(vector_runtime.ledger_catalogue_sql(relations)).rows -%}
        {%- do found[row[0]].append((row[1], row[2], row[3], row[4])) -%}
    {%- endfor -%}
    {{ return(found.values() | list) }}
{%- endmacro %}

{% macro sqlserver__ledger_catalogue_rows(relations) -%}
    {%- set found = [] -%}
    {%- for relation in relations -%}
        {%- do found.append(run_query(vector_runtime.ledger_catalogue_sql([relation])).rows) -%}
    {%- endfor -%}
    {{ return(found) }}
{%- endmacro %}

{#- No catalogue can be asked there: each table's own statement tells types, NOT NULL and the comment. -#}
{% macro spark__ledger_catalogue_rows(relations) -%}
    {%- set found = [] -%}
    {%- for relation in relations -%}
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
        {%- do found.append(rows) -%}
    {%- endfor -%}
    {{ return(found) }}
{%- endmacro %}
