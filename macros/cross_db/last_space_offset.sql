{#- 0-based code point offset of a text's last U+0020; -1 where it has none. -#}
{% macro last_space_offset(text) -%}
    {{ return(adapter.dispatch('last_space_offset')(text)) }}
{%- endmacro %}

{% macro default__last_space_offset(text) -%}
    (length({{ text }}) - length(string_split({{ text }}, ' ')[-1]) - 1)
{%- endmacro %}

{% macro sqlserver__last_space_offset(text) -%}
    case
        when charindex(N' ', {{ text }}) = 0 then -1
        else {{ char_count(text) }}
            - charindex(N' ', reverse({{ text }} collate Latin1_General_100_CI_AS_SC))
    end
{%- endmacro %}
