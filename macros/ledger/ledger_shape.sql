{% macro ledger_shape(relation, rows=none) -%}
    {%- set shape = {'version': 1, 'comment': '', 'columns': {}, 'defaults': {}, 'constraints': [], 'references': [], 'indexes': []} -%}
    {%- for kind, name, detail, nullable in (vector_runtime.ledger_catalogue_rows([relation])[0] if rows is none else rows) -%}
        {%- if kind == 'column' -%}
            {%- do shape.columns.update({name: {'type': detail, 'nullable': nullable == 'yes'}}) -%}
        {%- elif kind == 'reference' -%}
            {%- do shape.references.append({'name': name, 'table': detail}) -%}
        {%- elif kind == 'index' -%}
            {%- do shape.indexes.append(detail) -%}
        {%- elif kind == 'comment' -%}
            {%- do shape.update({'comment': detail}) -%}
            {%- for number in modules.re.findall('ledger version ([0-9]+)', detail) -%}
                {%- do shape.update({'version': number | int}) -%}
            {%- endfor -%}
        {%- elif detail is none -%}
            {% do exceptions.raise_compiler_error(
                "The definition of " ~ name ~ " of " ~ relation ~ " is hidden: grant VIEW DEFINITION on the schema.") %}
        {%- elif kind == 'default' -%}
            {%- do shape.defaults.update({name: {'text': detail, 'name': nullable}}) -%}
        {%- else -%}
            {%- do shape.constraints.append(kind ~ ' ' ~ detail) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(shape) }}
{%- endmacro %}
