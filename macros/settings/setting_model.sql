{% macro setting_model(variable, seed, demo_only=false) -%}
    {%- if var(variable) -%} {{ return(vector_runtime.named_model(var(variable))) }}
    {%- elif not demo_only or vector_runtime.demo_enabled() -%} {{ return(ref('vector_runtime', seed)) }}
    {%- endif -%}
    {{ return(none) }}
{%- endmacro %}
