//! The promises, one check each. [`suite!`](crate::suite) runs them all.

pub mod command_line;
pub mod delivery;
pub mod drain;
pub mod events;
pub mod flows;
pub mod hostile;
pub mod http;
pub mod identity;
pub mod lifetime;
pub mod limits;
pub mod log;
pub mod looks;
pub mod missed;
pub mod operating;
pub mod operators;
pub mod page;
pub mod requests;
pub mod slow;
pub mod websocket;

/// Makes a test of every check, against the server program at this path.
#[macro_export]
macro_rules! suite {
    ($program:expr) => {
        $crate::__tests! { $program;
            command_line {
                help_names_every_flag
                a_bad_address_is_one_clear_line
                a_bad_limit_is_one_clear_line
                a_bad_backplane_is_one_clear_line
                a_single_node_says_so
            }
            delivery {
                curl_reaches_exactly_the_addressed_clients
                events_arrive_byte_for_byte
                ids_are_any_text
                a_publisher_can_be_excluded
                events_arrive_in_order
            }
            drain {
                readiness_goes_before_anything_else
                an_interrupt_drains_without_the_delay
                other_signals_end_nothing
                clients_are_closed_one_after_the_other
                a_signal_drains
                events_accepted_before_a_drain_are_delivered
                a_drain_ends_by_its_deadline
                a_second_signal_ends_at_once
            }
            events {
                a_stream_is_a_connection
                a_bad_stream_is_refused
                a_stream_says_what_did_not_come
                a_stream_says_why_it_ends
            }
            flows {
                a_flow_is_seen_by_its_session
                a_bad_flow_is_refused
                the_page_watches_a_flow
            }
            hostile {
                a_foreign_origin_is_403
                a_foreign_host_is_403
                a_slow_handshake_is_cut_off
                idle_sockets_lock_nobody_out
                busy_sockets_lock_no_probe_out
                garbage_is_cut_off
            }
            http {
                a_bad_publication_is_400_with_what_and_where
                a_large_body_is_413
                paths_and_methods_are_told_apart
                the_receipt_is_answered
                one_connection_carries_many_requests
                a_list_may_stand_in_several_lines
                probes_and_proxies_come_in
                a_connection_is_kept_between_requests
                an_old_connection_is_closed_with_its_answer
                a_repeated_publication_is_published_once
            }
            identity {
                a_client_publishes_only_where_it_is
                an_identity_cannot_be_claimed
                sessions_and_connections_are_unguessable
                the_welcome_comes_first
                an_event_cannot_pass_for_a_message_of_the_server
            }
            lifetime {
                a_closed_client_is_detached
                a_killed_client_is_detached
                a_silent_client_is_detached
                a_session_is_resumed_after_a_kill
                topics_are_left_and_joined_again
            }
            limits {
                connections_beyond_the_limit_are_503
                one_address_does_not_take_every_place
                descriptors_are_raised_and_some_are_kept
                targets_beyond_the_limit_are_refused
                falling_behind_may_disconnect
                text_that_is_not_utf8_is_closed
            }
            log {
                a_log_that_nobody_reads_stops_nothing
            }
            missed {
                a_join_says_how_far_it_reaches
                a_client_that_missed_events_is_told
                what_is_kept_for_repair_has_its_limit
                one_outage_is_one_log_line
            }
            looks {
                the_page_is_legible_in_every_look
                the_page_says_that_the_broker_is_away
                the_page_counts_on_every_node
            }
            operating {
                the_page_for_operators_names_what_there_is
                every_line_of_the_log_is_explained
            }
            operators {
                an_operator_reaches_every_node
                a_publication_is_confirmed_by_every_node
                details_are_for_operators
                a_token_makes_an_operator
                metrics_count_what_happens
            }
            page {
                a_publish_in_one_tab_shows_in_the_other
                the_page_shows_where_it_is
                the_page_reconnects
                the_page_says_what_was_missed
                the_client_for_browsers_comes_back
                an_application_in_a_browser_is_told_of_every_fault
                a_page_that_stands_still_is_told_what_it_lost
            }
            requests {
                answers_carry_the_id_of_their_request
                requests_are_answered_in_order
                what_was_asked_before_the_end_is_carried_out
                bad_requests_are_answered_and_survived
                a_binary_message_is_answered_and_survived
                an_oversize_message_is_refused
            }
            slow {
                a_slow_client_changes_nothing_for_others
                a_client_that_reads_slowly_stays
                what_waits_for_all_is_bounded
                what_was_lost_is_counted
                a_stuck_client_is_dropped
                a_client_that_only_talks_is_held_back
            }
            websocket {
                messages_of_every_size_are_answered
                pings_are_answered
                what_is_reserved_is_1002
                fragments_are_one_message
                text_is_utf8
                a_close_is_answered
            }
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __tests {
    ($program:expr; $($module:ident { $($check:ident)* })*) => {
        $(mod $module {
            $(#[test]
            fn $check() {
                let program = $crate::Program::new($program);
                $crate::run($crate::checks::$module::$check(program));
            })*
        })*
    };
}
