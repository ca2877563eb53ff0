-- About it.

-- Up Migration
create table a (b int); -- c

-- Down Migration
drop table a;
