{% macro json_scalars(json) -%}
    {#- A fold over the tokens: how deep it is, how many members were before, the member's name and its value so far. -#}
    {%- set tokens = '"(?:[^"\\\\\\\\]++|\\\\\\\\.)*+"|[{}\\\\[\\\\],:]|[^{}\\\\[\\\\],:"\\\\s]+' -%}
    {%- set found -%}
        case
            when state.depth = 1 and state.content is not null
                then concat(
                    state.found,
                    array(named_struct('name', coalesce(state.name, cast(state.position as string)), 'content', state.content)))
            else state.found
        end
    {%- endset -%}
    aggregate(
        regexp_extract_all({{ json }}, '{{ tokens }}', 0),
        {{ vector_runtime.json_scalars_state('0', '0', 'null', 'null', 'cast(array() as array<struct<name: string, content: string>>)') }},
        (state, token) -> case
            when token in ('{', '[') then {{ vector_runtime.json_scalars_state('state.depth + 1', 'state.position', 'state.name', 'null', 'state.found') }}
            when token in ('}', ']') then {{ vector_runtime.json_scalars_state('state.depth - 1', 'state.position', 'state.name', 'null', found) }}
            when state.depth > 1 then state
            when token = ',' then {{ vector_runtime.json_scalars_state('state.depth', 'state.position + 1', 'null', 'null', found) }}
            when token = ':'
                then {{ vector_runtime.json_scalars_state(
                    'state.depth', 'state.position', "get_json_object(concat('[', state.content, ']'), '$[0]')", 'null',
                    'state.found') }}
            else {{ vector_runtime.json_scalars_state('state.depth', 'state.position', 'state.name', 'token', 'state.found') }}
        end,
        state -> state.found)
{%- endmacro %}

{% macro json_scalars_state(depth, position, name, content, found) -%}
    named_struct(
        'depth', {{ depth }}, 'position', {{ position }}, 'name', cast({{ name }} as string),
        'content', cast({{ content }} as string), 'found', {{ found }})
{%- endmacro %}
