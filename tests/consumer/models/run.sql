select 1 as lap, 42.2 as kilometres
