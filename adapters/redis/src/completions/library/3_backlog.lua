
-- The executions that finished with a number between these two, each with its number, and in their order. This looks at
-- every execution of the store.
local function finished_between(keys, from, before)
  local found, seen, cursor = {}, {}, '0'
  repeat
    local page = redis.call('HSCAN', keys[2], cursor, 'COUNT', '1000')
    cursor = page[1]
    for at = 1, #page[2], 2 do
      local execution_id, execution = page[2][at], as_finished(page[2][at + 1])
      if execution and execution[7] > from and execution[7] < before and not seen[execution_id] then
        seen[execution_id] = true
        found[#found + 1] = { execution[7], execution_id }
      end
    end
  until cursor == '0'
  table.sort(found, function(one, other)
    return one[1] < other[1]
  end)
  return found
end

-- What is behind a number of the history, up to another where one is given: up to `most` records, each as its number
-- and its execution; the number that this ends with, and whether there is more. What others took out of the history is
-- looked for among the executions.
local function behind(keys, store, from, upto, most)
  local listed = redis.call('XRANGE', keys[3], whole(from + 1) .. '-0', upto and whole(upto) or '+',
    'COUNT', whole(most + 1))
  local more = #listed > most
  local found = {}
  local function find_lost(before)
    for _, lost in ipairs(finished_between(keys, from, before)) do
      found[#found + 1] = lost
    end
  end
  for at = 1, math.min(#listed, most) do
    local number = id(listed[at])
    local record = fields(listed[at])
    if record.c and number > from + 1 then
      find_lost(number)
    end
    if record.c and record.e then
      found[#found + 1] = { number, record.e }
    end
    from = number
  end
  local last = upto or store.last
  if not more and from < last then
    find_lost(last + 1)
    from = last
  end
  return found, from, more
end

-- Lists as work of a group what is behind its position: up to `most` records, and whether there is more. What finished
-- up to a time, where one is given, is given up instead.
local function list(keys, store, group, upto, most, time)
  local found, position, more = behind(keys, store, group.position, upto, most)
  if #found > 0 then
    probe(keys, '')
  end
  local bytes = 0
  for _, record in ipairs(found) do
    local number, execution_id = record[1], record[2]
    if bytes > LIST_BYTES then
      return true
    end
    local execution = finished(keys, execution_id)
    if execution and execution[7] == number and not (time and execution[5] <= time) then
      redis.call('ZADD', keys[4], whole(number), execution_id)
      index(keys, execution_id, execution)
      bytes = bytes + #(execution[6] or '')
    end
    group.position = number
  end
  group.position = position
  return more
end
