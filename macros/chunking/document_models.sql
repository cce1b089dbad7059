{% macro document_models() -%}
    {%- set models = [] -%}
    {%- for name in var('documents') -%} {%- do models.append(vector_runtime.named_model(name)) -%} {%- endfor -%}
    {%- for name in ['stg_page', 'stg_entity', 'stg_event'] if vector_runtime.demo_models_enabled() -%}
        {%- do models.append(ref('vector_runtime', name)) -%}
    {%- endfor -%}
    {{ return(models) }}
{%- endmacro %}
