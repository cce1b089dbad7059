{% macro document_fingerprint() -%}
    {#- Every part has its length before it, so that no two documents are one text. -#}
    {%- set parts = ["'" ~ vector_runtime.chunking_version() ~ "'"] -%}
    {%- for number in ['chunk_size', 'overlap', 'max_chunks_per_source'] -%}
        {%- do parts.append("' '") -%}
        {%- do parts.append("case when " ~ number ~ " is null then '-' else " ~ vector_runtime.as_text(number, 20) ~ " end") -%}
    {%- endfor -%}
    {%- for text in [
        'normalization_version', 'method', 'policy_version', 'content_sha256', 'source_type', 'source_ref_json', 'title'
    ] -%}
        {%- do parts.append("' '") -%}
        {%- do parts.append(
            "case when " ~ text ~ " is null then '-' else concat(" ~ vector_runtime.char_count(text) ~ ", ':', "
            ~ vector_runtime.as_text(text) ~ ") end") -%}
    {%- endfor -%}
    {{ vector_runtime.sha256_hex('concat(' ~ parts | join(', ') ~ ')') }}
{%- endmacro %}
