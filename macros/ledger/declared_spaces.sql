{% macro declared_spaces(declared, columns, default, former) -%}
    {%- set of_former = "embedding_space_id = '" ~ former ~ "'" -%}
    {%- set held_back -%}
        declared.embedding_space_id = '{{ default }}'
                and exists (
                    select 1 from {{ this }} as ledger where ledger.{{ of_former }} and {{ vector_runtime.is_true('ledger.is_active') }}
                )
                and not exists (select 1 from {{ declared }} as beside where beside.{{ of_former }})
    {%- endset -%}
(
        select
            embedding_space_id,
            {%- for column in columns if column != 'is_active' %}
            {{ column }},
            {%- endfor %}
            {{ vector_runtime.boolean_of(vector_runtime.is_true('declared.is_active') ~ " and not (" ~ held_back ~ ")") }} as is_active
        from {{ declared }} as declared
    )
{%- endmacro %}
