{#-
    Where the ends of a 95% percentile interval lie among B ordered bootstrap replicates: at the k-th smallest and the
    k-th largest, k = floor(0.025 (B + 1)) (Efron and Tibshirani 1993, section 12.5).
-#}
{% macro percentile_rank() -%}
    {%- set rank = ((var('bootstrap_replicates') | int + 1) * 0.025) | int -%}
    {%- if rank < 1 -%}
        {% do exceptions.raise_compiler_error(
            "bootstrap_replicates is " ~ var('bootstrap_replicates') ~ "; a 95% interval needs at least 39.") %}
    {%- endif -%}
    {{- rank -}}
{%- endmacro %}
