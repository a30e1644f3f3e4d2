
-- register(name, 'beginning' or 'now', microseconds or ''): 1 when the group is there, 0 when one that was removed has
-- work left, which is emptied: to be called until it is 1.
local function register_group(keys, args)
  local store, problem = open(keys)
  if not store then
    return problem
  end
  local name, keep = args[1], tonumber(args[3])
  if not is_id(name) then
    return redis.error_reply('UNFITCOMPLETION the name of a group has 1 to 255 bytes')
  end
  local group = store.groups[name]
  if group and group.removed and not clean(keys, store, name, LIST_AT_ONCE) then
    return 0
  end
  if not is_live(group) then
    local first = args[2] == 'beginning' and redis.call('XRANGE', keys[3], '-', '+', 'COUNT', '1')[1]
    local trimmed = tonumber(string.match(store.trimmed, '^%d+') or 0)
    group = { position = first and id(first) - 1 or math.max(store.last, trimmed) }
  end
  group.keep = keep
  store.groups[name] = group
  save_groups(keys, store)
  return 1
end

-- remove(name, or '' for the group without one): 1 when there was one and its work is gone, 0 when there is more of it: to
-- be called until it is not; 2 when there is no such group.
local function remove(keys, args)
  local store, problem = open(keys)
  if not store then
    return problem
  end
  local name = args[1]
  local group = store.groups[name] or (name == UNNAMED and {} or { removed = CLEAN })
  if group.removed == CLEAN then
    return 2
  end
  probe(of_group(keys, name), '')
  group.removed = REMOVED
  store.groups[name] = group
  return clean(keys, store, name, LIST_AT_ONCE) and 1 or 0
end

-- groups(): each group as its name, microseconds or '', its position, how much it has listed that it has not handled, and
-- how many dead letters.
local function groups(keys, _)
  local store, problem = open(keys)
  if not store then
    return problem
  end
  local found = {}
  if not store.groups[UNNAMED] then
    found[1] = { UNNAMED, '', whole(store.last), redis.call('ZCARD', keys[4]), redis.call('ZCARD', keys[8]) }
  end
  for name, group in pairs(store.groups) do
    if is_live(group) then
      local of = of_group(keys, name)
      found[#found + 1] = {
        name, group.keep and whole(group.keep) or '', whole(group.position),
        redis.call('ZCARD', of[4]), redis.call('ZCARD', of[8]),
      }
    end
  end
  return found
end

-- count(position, most): how many executions there are in the history behind a position, among up to `most` records; the
-- position that this ends with, and whether there is more.
local function count_behind(keys, args)
  local store, problem = open(keys)
  if not store then
    return problem
  end
  local found, position, more = behind(keys, store, tonumber(args[1]), nil, tonumber(args[2]))
  return { #found, whole(position), more and 1 or 0 }
end
