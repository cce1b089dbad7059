{% macro spark__load_csv_rows(model, agate_table) -%}
    {#- The adapter's session method puts values between quotes as they are. -#}
    {%- set types = model.config.get('column_types', {}) -%}
    {%- set names = agate_table.column_names -%}
    {%- for batch in agate_table.rows | batch(500) -%}
        {%- call statement('_') -%}
        insert into {{ this }} values
        {%- for row in batch %}
        (
            {%- for value in row -%}
            {%- set type = types.get(names[loop.index0], adapter.convert_type(agate_table, loop.index0)) -%}
            cast({{ 'null' if value is none else vector_runtime.text_literal(value) }} as {{ vector_runtime.ledger_type(type) | trim }})
            {{- ', ' if not loop.last -}}
            {%- endfor -%}
        ){{ ',' if not loop.last }}
        {%- endfor -%}
        {%- endcall -%}
    {%- endfor -%}
    {{ return('') }}
{%- endmacro %}
