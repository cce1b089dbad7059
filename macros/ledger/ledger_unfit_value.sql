{% macro ledger_unfit_value() -%}
    {%- set case_of = [] -%}
    {%- for column in model.columns.values() if '(' in column.data_type and 'char' in column.data_type | lower -%}
        {%- set value = 'change.' ~ column.name -%}
        {%- set limit = column.data_type.split('(')[1].split(')')[0] -%}
        {%- do case_of.append(
            "when " ~ vector_runtime.utf16_unit_count(value) ~ " > " ~ limit ~ " then concat('" ~ column.name ~ " \"', "
            ~ vector_runtime.substring_chars(value, '0', '80') ~ ", '...\" is longer than the " ~ limit ~ " characters of its column')"
        ) -%}
        {%- if column.name.split('_')[-1] in ('id', 'key', 'type', 'version') -%}
            {%- do case_of.append(
                "when " ~ value ~ " like '% ' then concat('" ~ column.name ~ " \"', " ~ value ~ ", '\" ends in a blank')"
            ) -%}
        {%- endif -%}
    {%- endfor -%}
    case
        {{ case_of | join('\n        ') }}
    end
{%- endmacro %}
