{% test one_active_row_each(model, column_name) %}

select
    {{ column_name }},
    count(*) as row_count
from {{ model }}
where {{ is_true('is_active') }}
group by {{ column_name }}
having count(*) > 1

{% endtest %}
