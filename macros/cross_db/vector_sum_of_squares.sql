{% macro vector_sum_of_squares(vector) -%}
    {{ return(adapter.dispatch('vector_sum_of_squares', 'vector_runtime')(vector)) }}
{%- endmacro %}

{% macro default__vector_sum_of_squares(vector) -%}
    list_sum(list_transform(cast({{ vector }} as double[]), lambda x: x * x))
{%- endmacro %}

{% macro sqlserver__vector_sum_of_squares(vector) -%}
    (
        select sum(cast(try_cast([value] as real) as float(53)) * cast(try_cast([value] as real) as float(53)))
        from openjson({{ vector }})
    )
{%- endmacro %}

{% macro spark__vector_sum_of_squares(vector) -%}
    aggregate({{ vector }}, cast(0 as double), (total, x) -> total + cast(x as double) * cast(x as double))
{%- endmacro %}
