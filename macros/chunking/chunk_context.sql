{% macro chunk_context(title, heading_path) -%}
    {#- Of blanks alone: DuckDB's trim() takes a no-break space, too. -#}
    {%- set name = vector_runtime.substring_chars(
        vector_runtime.trim_characters(vector_runtime.replace_text(title, vector_runtime.character(9), "' '"), ' '),
        '0', '200') -%}
    {#- A path is null, or begins with its separator, three characters; a title that is its first heading is not said twice. -#}
    case
        when {{ title }} is null or {{ vector_runtime.is_blank(name) }}
            then {{ vector_runtime.substring_chars(heading_path, '3', '2000') }}
        when
            {{ vector_runtime.substring_chars('concat(' ~ heading_path ~ ", ' > ')", '0', vector_runtime.char_count(name) ~ ' + 6') }}
            = concat(' > ', {{ name }}, ' > ')
            then {{ vector_runtime.substring_chars(heading_path, '3', '2000') }}
        else concat({{ name }}, coalesce({{ heading_path }}, ''))
    end
{%- endmacro %}
