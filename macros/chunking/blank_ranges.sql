{#-
    The code points that show nothing, as ranges (first, last), ascending: Unicode's White_Space, the soft hyphen, and
    the zero-width and direction marks U+200B to U+200F, U+2060, U+FEFF. docs/schema.md has the list in words,
    scripts/vector/contracts/identity.py in Python.
-#}
{% macro blank_ranges() -%}
    {{ return([
        (0x0009, 0x000D), (0x0020, 0x0020), (0x0085, 0x0085), (0x00A0, 0x00A0), (0x00AD, 0x00AD), (0x1680, 0x1680),
        (0x2000, 0x200F), (0x2028, 0x2029), (0x202F, 0x202F), (0x205F, 0x2060), (0x3000, 0x3000), (0xFEFF, 0xFEFF)
    ]) }}
{%- endmacro %}
