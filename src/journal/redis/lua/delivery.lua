-- All that is stored of a delivery. ARGV: time, id. Answers nothing if there is no such delivery.
return read_delivery(ARGV[2])
