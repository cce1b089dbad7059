{% macro last_space_offset(text) -%}
    {{ return(adapter.dispatch('last_space_offset', 'vector_runtime')(text)) }}
{%- endmacro %}

{% macro default__last_space_offset(text) -%}
    {#- An expression that ends where the text does is looked for from there. Without a space it would be all of the text. -#}
    case
        when contains({{ text }}, ' ') then length({{ text }}) - length(regexp_extract({{ text }}, '[^ ]*\z')) - 1
        else -1
    end
{%- endmacro %}

{% macro sqlserver__last_space_offset(text) -%}
    {#-
        A linguistic collation calls other characters equal to a space, the ideographic space among them, so the space
        is looked for by code units; what lies before it is then counted in code points.
    -#}
    case
        when charindex(N' ', {{ text }} collate Latin1_General_100_BIN2) = 0 then -1
        else {{ vector_runtime.char_count(
            'left(' ~ text ~ ' collate Latin1_General_100_BIN2, datalength(' ~ text ~ ') / 2 - charindex(N\' \', reverse('
            ~ text ~ ' collate Latin1_General_100_BIN2)))') }}
    end
{%- endmacro %}

{% macro spark__last_space_offset(text) -%}
    (length({{ text }}) - length(substring_index({{ text }}, ' ', -1)) - 1)
{%- endmacro %}
