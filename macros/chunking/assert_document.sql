{% macro assert_document(model, texts) -%}
    {%- set types = {} -%}
    {%- for column in adapter.get_columns_in_relation(model) -%}
        {%- do types.update({column.name | lower: column.dtype | lower}) -%}
    {%- endfor -%}
    {%- set faults = [] -%}
    {#- A view that is not built yet has no columns: the database will say so. -#}
    {%- for name in texts + ['updated_utc'] if types -%}
        {%- set type = types.get(name) -%}
        {%- if not type -%} {%- do faults.append('lacks ' ~ name) -%}
        {%- elif not vector_runtime.is_text_type(type) and not (name == 'updated_utc' and ('date' in type or 'timestamp' in type)) -%}
            {%- do faults.append('has ' ~ name ~ ' as ' ~ type ~ ', not as '
                ~ ('a time or text' if name == 'updated_utc' else 'text')) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- if faults -%}
        {% do exceptions.raise_compiler_error(
            'Document model ' ~ model.identifier ~ ' ' ~ faults | join(' and ') ~ '; a document has the columns '
            ~ texts | join(', ') ~ ' and updated_utc.') %}
    {%- endif -%}
{%- endmacro %}
