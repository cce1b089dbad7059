select 'invoice' as document_type, 'no document of the runtime' as note
