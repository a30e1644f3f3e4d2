
local function register(name, callback, flags)
  redis.register_function({
    function_name = 'midplane_' .. name .. '_' .. VERSION, callback = callback, flags = flags,
  })
end

-- What frees memory, or is needed on the way there, runs when there is none.
register('install', install, { 'allow-oom' })
register('start', start, {})
register('complete', finish('success'), {})
register('fail', finish('failure'), {})
register('cancel', finish('cancelled'), {})
register('expire', finish('expired'), {})
register('skip', finish('skipped'), {})
register('trim', trim_to, { 'allow-oom' })
register('prune', prune, { 'allow-oom' })
register('head', head, { 'no-writes' })
register('read', read, { 'no-writes' })
register('scan', scan, { 'no-writes' })
register('take', take, { 'allow-oom' })
register('renew', renew, { 'allow-oom' })
register('settle', settle, { 'allow-oom' })
register('replay', replay, { 'allow-oom' })
register('register', register_group, { 'allow-oom' })
register('remove', remove, { 'allow-oom' })
register('groups', groups, { 'no-writes' })
register('count', count_behind, { 'no-writes' })
