{% macro chunking_version() -%}
    {#- Another one in the release that cuts a text otherwise, or words a context otherwise: its first build cuts all. -#}
    {{ return('cut-1') }}
{%- endmacro %}
