
-- head(): the store, and the place behind the last of the history.
local function head(keys, _)
  local store, problem = open(keys)
  if not store then
    return problem
  end
  return { store.number, whole(store.last), '0', store.check }
end

-- read(number, sequence, check, namespace or '', tag or '', most): what is behind the place.
-- {store, 'page', number, sequence, check, more, entries}; {store, 'expired', number, sequence, check,
-- missed} with the place to go on from; or {store, 'replaced'} where this is not the history of the place.
local function read(keys, args)
  local store, problem = open(keys)
  if not store then
    return problem
  end
  local from, sequence, check = tonumber(args[1]), tonumber(args[2]), args[3]
  local most = tonumber(args[6])
  local place = whole(from) .. '-' .. whole(sequence)
  -- The entry of the place itself, and one more than the page.
  local found = redis.call('XRANGE', keys[3], place, '+', 'COUNT', whole(most + 2))
  local known
  if found[1] and found[1][1] == place then
    known = fields(table.remove(found, 1)).c or ''
  elseif place == store.trimmed then
    known = store.trimmed_check
  elseif from > store.last or (from == 0 and check ~= '') then
    return { store.number, 'replaced' }
  end
  -- A place of which no check is known is the one before what is kept.
  if known and check ~= '' and known ~= check then
    return { store.number, 'replaced' }
  end
  if not found[1] and from < store.last then
    return {
      store.number, 'expired', whole(store.last), '0', store.check, whole(store.last - from),
    }
  end

  local entries, bytes, taken = {}, 0, 0
  for _, entry in ipairs(found) do
    if taken == most or bytes > PAGE_BYTES then
      break
    end
    local number, sequence_here = id(entry)
    local record = fields(entry)
    if record.c and number ~= from + 1 then
      if taken > 0 then
        break
      end
      return {
        store.number, 'expired', whole(number - 1), '0', '', whole(number - 1 - from),
      }
    end
    from, sequence, check = number, sequence_here, record.c or ''
    taken = taken + 1
    local here = { whole(number), whole(sequence), check }
    if not record.c or not record.e then
      here[4] = 'an entry of the history that was not written by the functions'
      entries[#entries + 1] = here
    elseif (args[4] == '' or args[4] == record.n) and (args[5] == '' or args[5] == record.t) then
      local execution = finished(keys, record.e)
      if execution then
        here[4] = shown(record.e, execution)
        bytes = bytes + #(execution[6] or '')
      else
        here[4] = 'the record of the execution is gone or cannot be read'
      end
      entries[#entries + 1] = here
    end
  end
  return {
    store.number, 'page', whole(from), whole(sequence), check, taken < #found and 1 or 0, entries,
  }
end
