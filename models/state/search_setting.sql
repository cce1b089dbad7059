{%- set languages = var('search_language') -%}
{%- if languages is not mapping -%}
    {%- set languages = {'*': languages} -%}
{%- elif '*' not in languages -%}
    {% do exceptions.raise_compiler_error(
        "The variable search_language is a mapping without '*': add '*', the language of all other source types.") %}
{%- endif -%}
with

final as (

    {% for source_type, language in languages.items() %}
        select
            {{ as_text(text_literal(source_type), 200) }} as source_type,
            {{ as_text(text_literal(language), 50) }} as search_language
        {% if not loop.last %}union all{% endif %}
    {% endfor %}

)

select * from final
