{% macro sentence_end_offset(text) -%}
    {{ return(adapter.dispatch('sentence_end_offset', 'vector_runtime')(text)) }}
{%- endmacro %}

{% macro default__sentence_end_offset(text) -%}
    {%- set ends = vector_runtime.character_class(vector_runtime.sentence_end_ranges()) -%}
    {%- set wide_ends = vector_runtime.character_class(vector_runtime.sentence_end_ranges('wide')) -%}
    {%- set closers = vector_runtime.character_class(vector_runtime.closer_ranges()) -%}
    {%- set spaces = vector_runtime.character_class(vector_runtime.space_ranges()) -%}
    {%- set pattern = '[' ~ ends ~ '][' ~ closers ~ ']?[' ~ spaces ~ ']|[' ~ wide_ends ~ '][' ~ closers ~ ']?[^' ~ ends
        ~ closers ~ spaces ~ ']' -%}
    {%- set found = "regexp_extract(" ~ text ~ ", '" ~ pattern ~ "', 0)" -%}
    {#- What matches first is also the first of its kind as a literal. Its last character is no part of the sentence. -#}
    (instr({{ text }}, nullif({{ found }}, '')) + length({{ found }}) - 2)
{%- endmacro %}

{% macro sqlserver__sentence_end_offset(text) -%}
    {%- set ends = vector_runtime.character_class(vector_runtime.sentence_end_ranges()) -%}
    {%- set wide_ends = vector_runtime.character_class(vector_runtime.sentence_end_ranges('wide')) -%}
    {%- set closers = vector_runtime.character_class(vector_runtime.closer_ranges()) -%}
    {%- set spaces = vector_runtime.character_class(vector_runtime.space_ranges()) -%}
    {%- set others = [ends, closers, spaces] | join(', ') -%}
    {#- LIKE knows no optional character, so there are two patterns for each kind; how many units the sentence has on. -#}
    {%- set candidates = [] -%}
    {%- for end, next, after in ((ends, spaces, "N'['"), (wide_ends, others, "N'[^'")) -%}
        {%- for closer in (none, closers) -%}
            {%- set pattern = "concat(N'%[', " ~ end ~ ", N']', " ~ ("N'[', " ~ closer ~ ", N']', " if closer else '')
                ~ after ~ ", " ~ next ~ ", N']%')" -%}
            {%- do candidates.append('(nullif(patindex(' ~ pattern ~ ', ' ~ text
                ~ ' collate Latin1_General_100_BIN2), 0) + ' ~ (1 if closer else 0) ~ ')') -%}
        {%- endfor -%}
    {%- endfor -%}
    {{ vector_runtime.char_count(
        'left(' ~ text ~ ' collate Latin1_General_100_BIN2, (select min(found.units) from (values '
        ~ candidates | join(', ') ~ ') as found (units)))') }}
{%- endmacro %}
