select
    concat('ticket:', "Ticket-Id") as source_id,
    'ticket' as source_type,
    concat('{"ticket_id":', "Ticket-Id", '}') as source_ref_json,
    "Subject" as title,
    "Body" as content,
    cast(null as varchar) as tags_json,
    "ClosedAt" as updated_utc,
    "Agent" as agent
from {{ source('help_desk', 'tickets') }}
